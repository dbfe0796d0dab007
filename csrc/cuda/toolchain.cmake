# Decides whether there is a CUDA compiler to build with, and for which architectures. Sets YOPO_CUDA_FOUND, YOPO_CUDA_ARCHITECTURES
# (of machine code) and YOPO_CUDA_PTX. Included by the top-level CMakeLists.txt, because a language must be enabled above every target
# that uses it.
set(YOPO_EXT_CUDA_ARCHS "" CACHE STRING "Architectures to compile for, as in 80;90, or native: this machine's GPUs (default: see below)")
set(YOPO_CUDA_FOUND OFF)
if(YOPO_EXT_CUDA STREQUAL "off")
  return()
endif()

# Those of the list that this nvcc can compile for.
function(yopo_known_architectures result)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE known OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(found "")
  foreach(architecture ${ARGN})
    if(known MATCHES "sm_${architecture}([^0-9]|$)")
      list(APPEND found ${architecture})
    endif()
  endforeach()
  set(${result} "${found}" PARENT_SCOPE)
endfunction()

# The GPUs that the driver names, each once.
function(yopo_native_architectures result)
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE found RESULT_VARIABLE status
    ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT status EQUAL 0 OR found STREQUAL "")
    message(FATAL_ERROR "YOPO_EXT_CUDA_ARCHS=native, but nvidia-smi names no GPU here: give a number, as in YOPO_EXT_CUDA_ARCHS=90")
  endif()
  string(REPLACE "." "" found "${found}")
  string(REPLACE "\n" ";" found "${found}")
  list(REMOVE_DUPLICATES found)
  set(${result} "${found}" PARENT_SCOPE)
endfunction()

include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(YOPO_EXT_CUDA STREQUAL "on")
    message(FATAL_ERROR "YOPO_EXT_CUDA=on, but nvcc was not found (or does not work): install the CUDA toolkit (12 or newer) or set CUDACXX to nvcc's path")
  endif()
  message(STATUS "yopo_ext: no working nvcc, building without CUDA kernels")
  return()
endif()

# Every pass over the kernels takes as long as the next, so by default there is machine code for the GPUs of data centres alone:
# sm_86 and sm_89 run that of sm_80, sm_103 that of sm_100. For the others PTX, which the driver compiles at the first call and
# remembers: of the newest for sm_120 and GPUs to come, of sm_75 for that one.
set(YOPO_CUDA_PTX "")
if(YOPO_EXT_CUDA_ARCHS STREQUAL "native")
  yopo_native_architectures(YOPO_CUDA_ARCHITECTURES)
elseif(YOPO_EXT_CUDA_ARCHS)
  string(REPLACE "," ";" YOPO_CUDA_ARCHITECTURES "${YOPO_EXT_CUDA_ARCHS}")
else()
  yopo_known_architectures(YOPO_CUDA_ARCHITECTURES 80 90 100)
  yopo_known_architectures(YOPO_CUDA_PTX 75)
endif()
list(SORT YOPO_CUDA_ARCHITECTURES COMPARE NATURAL)
list(GET YOPO_CUDA_ARCHITECTURES -1 newest)
list(APPEND YOPO_CUDA_PTX ${newest})
set(CMAKE_CUDA_ARCHITECTURES "")
foreach(architecture ${YOPO_CUDA_ARCHITECTURES})
  list(APPEND CMAKE_CUDA_ARCHITECTURES ${architecture}-real)
endforeach()
foreach(architecture ${YOPO_CUDA_PTX})
  list(APPEND CMAKE_CUDA_ARCHITECTURES ${architecture}-virtual)
endforeach()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
# As a flag: a CMake older than the compiler does not know which standards that has.
string(APPEND CMAKE_CUDA_FLAGS " -std=c++20")
set(YOPO_CUDA_FOUND ON)
message(STATUS "yopo_ext: CUDA kernels for ${YOPO_CUDA_ARCHITECTURES}, PTX for ${YOPO_CUDA_PTX}")
